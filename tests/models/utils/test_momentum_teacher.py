import torch
import torch.nn as nn
from mmpretrain.registry import MODELS

from mmc_plugin.models.utils import MomentumTeacher


def vit(drop_path: float = 0.0) -> nn.Module:
    arch = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32)
    return MODELS.build(
        dict(type='VisionTransformer', arch=arch, img_size=16, patch_size=8,
             drop_path_rate=drop_path, drop_rate=drop_path, out_type='raw')
    )  # fmt: skip


def test_update_is_the_closed_form_over_a_schedule():
    torch.manual_seed(0)
    student = nn.Linear(4, 3).double()
    teacher = MomentumTeacher(dict(net=student)).double()
    start = student.weight.detach().clone()
    momenta = [0.9, 0.95, 0.99, 1.0, 0.5]
    seen = []
    for m in momenta:
        with torch.no_grad():
            student.weight.copy_(torch.randn(3, 4))
        seen.append(student.weight.detach().clone())
        teacher.update(dict(net=student), m)
    # θ_T = Π m_t θ_0 + Σ_t (1 - m_t) Π_{s>t} m_s θ_t
    expected = start * torch.tensor(momenta, dtype=torch.float64).prod()
    for t, weight in enumerate(seen):
        later = torch.tensor(momenta[t + 1 :], dtype=torch.float64).prod()
        expected = expected + (1 - momenta[t]) * later * weight
    torch.testing.assert_close(teacher.net.weight, expected, rtol=1e-12, atol=1e-12)


def test_teacher_is_deterministic_in_train_mode_and_the_student_is_not():
    student = vit(drop_path=0.5)
    teacher = MomentumTeacher(dict(backbone=student)).train()
    student.train()
    images = torch.randn(4, 3, 16, 16)
    assert torch.equal(teacher.backbone(images)[-1], teacher.backbone(images)[-1])
    assert not torch.equal(student(images)[-1], student(images)[-1])


def test_teacher_needs_no_gradient_and_the_student_keeps_its_own():
    student = vit()
    teacher = MomentumTeacher(dict(backbone=student))
    assert not [p for p in teacher.parameters() if p.requires_grad]
    assert all(p.requires_grad for p in student.parameters())


def test_copy_from_takes_over_parameters_and_buffers():
    student = nn.BatchNorm1d(3)
    teacher = MomentumTeacher(dict(norm=student))
    student(torch.randn(8, 3) + 2)
    with torch.no_grad():
        student.weight.fill_(7)
    teacher.copy_from(dict(norm=student))
    for mine, theirs in zip(teacher.norm.state_dict().values(), student.state_dict().values()):
        assert torch.equal(mine, theirs)
