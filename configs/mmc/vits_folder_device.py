# ViT-S/16 on any folder of images: as vits_folder.py, for a GPU with few CPU cores. Data workers
# crop and flip; colours and blur are drawn there and applied on the device.
_base_ = ['./vits_folder.py']

train_dataloader = dict(dataset=dict(pipeline={{_base_.device_pipeline}}))
