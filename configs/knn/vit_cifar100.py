# k-NN on CIFAR-100, in the files of its release, pickles or binary.
#   CIFAR_ROOT=/path/to/cifar tools/test.sh configs/knn/vit_cifar100.py CHECKPOINT [GPUS]
_base_ = './vit_cifar10.py'
test_dataloader = dict(dataset=dict(sets=dict(train=dict(classes=100), test=dict(classes=100))))
