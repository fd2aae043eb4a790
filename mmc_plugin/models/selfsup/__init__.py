from .base import StudentTeacher
from .dino import DINO
from .hosts import ViewMAE, ViewMoCoV3
from .ibot import IBOT
from .maskco import MaskCo
from .mcssl import MCSSL
from .mmc import MMC
from .msn import MSN
from .protocol import PretrainingMethod, check_method, lacking
from .seen import Seen
from .sit import SiT

__all__ = [
    'DINO',
    'IBOT',
    'MCSSL',
    'MMC',
    'MSN',
    'MaskCo',
    'PretrainingMethod',
    'check_method',
    'lacking',
    'Seen',
    'SiT',
    'StudentTeacher',
    'ViewMAE',
    'ViewMoCoV3',
]
