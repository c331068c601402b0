"""A PostgreSQL cluster of its own, for as long as a block runs."""

import contextlib
import sys

import gateway

sys.path.insert(0, str(gateway.REPO / "tests" / "support" / "postgres"))

from servers import Server, ServerError, free_port, programs, unprivileged  # noqa: E402, F401


@contextlib.contextmanager
def cluster(folder, databases, settings=()):
    """A server with these databases, no passwords and a socket in `folder`; yields the port on 127.0.0.1."""
    server = Server("PostgreSQL", folder, user="quarry")
    try:
        server.make_folder()
        server.finished(server.initialise(), "initdb")
        server.start(settings)
        server.wait_until_ready()
        for database in databases:
            server.sql(f'CREATE DATABASE "{database}"')
        yield server.port
    except ServerError as error:
        sys.exit(str(error))
    finally:
        server.stop()
