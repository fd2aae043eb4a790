# What every zero-shot evaluation shares: a frozen ViT and a report.
_base_ = ['./models/frozen_vit.py', './default_runtime.py']
default_hooks = dict(report=dict(type='EvaluationReportHook'))
