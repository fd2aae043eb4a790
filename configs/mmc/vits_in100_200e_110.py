_base_ = ['./vits_in100_200e_111.py']
model = dict(loss_weights=dict(patch=0.0))  # Table 4, row rec on, cls on, patch off
