from .base import StudentTeacher
from .mmc import MMC
from .protocol import PretrainingMethod

__all__ = ['MMC', 'PretrainingMethod', 'StudentTeacher']
