"""The energy conventions, one file each; importing this package registers them all."""

import sys

from ...hw import import_siblings

import_siblings(sys.modules[__name__])
