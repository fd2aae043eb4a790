# COCO below COCO_ROOT: {train,val}2017/, annotations/instances_{train,val}2017.json.
_base_ = ['mmdet::_base_/datasets/coco_instance.py']
data_root = '{{$COCO_ROOT:data/coco}}/'
annotations = data_root + 'annotations/instances_val2017.json'
checked = dict(type='CheckedCocoDataset', data_root=data_root)
train_dataloader = dict(dataset=checked)
val_dataloader = dict(dataset=checked)
test_dataloader = dict(dataset=checked)
val_evaluator = dict(ann_file=annotations)
test_evaluator = dict(ann_file=annotations)
