_base_ = ['./vits_in100_200e_111.py']
model = dict(loss_weights=dict(rec=0.0, cls=0.0))  # Table 4, row rec off, cls off, patch on
