"""The errors that tell a caller what to change; anything else that is raised is a fault of this package.

    GiqaError
    ├── InputError            (ValueError)          a text, a file, an option or a record is not valid
    ├── MissingFileError      (FileNotFoundError)   a named file or folder is missing
    ├── ExistingFileError     (FileExistsError)     writing would replace a file or a folder
    ├── UnavailableError      (OSError)             a model, a server or the Hub cannot be had, or gives no answer
    │   └── UnreachableError  (ConnectionError)     it would not answer any other request either
    └── MissingExtraError     (ImportError)         a package is not installed; the message names its extra

Each is also the built-in error in parentheses, so that code which catches that one goes on working. A message is one
sentence: the expected value, the value that came, and the record.
"""


class GiqaError(Exception):
    """The base of all errors that are not a fault of this package."""


class InputError(GiqaError, ValueError):
    """A value that is not valid."""


class MissingFileError(GiqaError, FileNotFoundError):
    """A file or folder that is missing."""


class ExistingFileError(GiqaError, FileExistsError):
    """A file or folder that would be replaced."""


class UnavailableError(GiqaError, OSError):
    """A model, a server or the Hub that cannot be had, or gives no answer."""


class UnreachableError(UnavailableError, ConnectionError):
    """A server that cannot be reached, or refuses every call."""


class MissingExtraError(GiqaError, ImportError):
    """A package that is not installed."""
