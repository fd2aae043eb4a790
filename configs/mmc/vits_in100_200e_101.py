_base_ = ['./vits_in100_200e_111.py']
model = dict(loss_weights=dict(cls=0.0))  # Table 4, row rec on, cls off, patch on
