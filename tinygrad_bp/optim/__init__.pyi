# Written by `python -m tinygrad_bp.stub`.
from .adam import Adam as Adam
from .optimizer import Optimizer as Optimizer
from .rmsprop import RMSprop as RMSprop
from .sgd import SGD as SGD
