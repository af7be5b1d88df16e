"""The errors that tell a caller what to change; anything else that is raised is a fault of this package.

    GiqaError
    ├── InputError            (ValueError)          a text, a file, an option or a record is not what was expected
    ├── MissingFileError      (FileNotFoundError)   something that was named is not there
    ├── ExistingFileError     (FileExistsError)     writing would replace something that is there
    ├── UnavailableError      (OSError)             a model, a server or the Hub cannot be had, or gives no answer
    │   └── UnreachableError  (ConnectionError)     nor would it answer any other request
    └── MissingExtraError     (ImportError)         a package is not installed; the message says which extra brings it

Each is also the built-in error in parentheses, so that code which catches that one goes on working. A message is one
sentence: what was expected, what came, and in which record.
"""


class GiqaError(Exception):
    """The base of all errors that are not a fault of this package."""


class InputError(GiqaError, ValueError):
    """What was given is not what was expected."""


class MissingFileError(GiqaError, FileNotFoundError):
    """What was named is not there."""


class ExistingFileError(GiqaError, FileExistsError):
    """What is there would be replaced."""


class UnavailableError(GiqaError, OSError):
    """A model, a server or the Hub cannot be had, or gives no answer."""


class UnreachableError(UnavailableError, ConnectionError):
    """A server cannot be reached, or refuses every call."""


class MissingExtraError(GiqaError, ImportError):
    """A package is not installed."""
