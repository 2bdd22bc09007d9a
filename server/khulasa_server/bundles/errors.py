"""What can be wrong with a bundle, or with what one is built from; each is one sentence."""

from __future__ import annotations


class BundleError(Exception):
    """A bundle cannot be served as it is."""


class BundleNotFoundError(BundleError):
    """No directory and no embedded bundle has this name."""


class NotABundleError(BundleError):
    """The directory holds no readable manifest."""


class UnknownFormatError(BundleError):
    """The manifest is of a format that this version does not read."""


class MissingFileError(BundleError):
    """A file that the manifest lists is not there."""


class DigestMismatchError(BundleError):
    """A file, or the manifest itself, is not what was written when the bundle was built."""


class UnlistedFileError(BundleError):
    """A file lies beside the weights that the manifest does not know."""


class ReplacementError(BundleError):
    """A bundle cannot take the place of the one that is served."""


class BuildError(Exception):
    """A bundle cannot be built from what was given."""


class CheckpointError(BuildError):
    """The checkpoint is incomplete, damaged, or of an architecture that is not served."""


class HubError(BuildError):
    """The Hub cannot be reached, or does not give what was asked for."""


class DiskFullError(BuildError):
    """There is not enough room for what is to be written."""


class ToolMissingError(BuildError):
    """Building needs a package that serving does not."""


class OutputExistsError(BuildError):
    """The output is there already; nothing was touched."""


class EvaluationError(Exception):
    """What a model is to be evaluated on, or continued from, does not fit."""
