"""Every test runs as the services do: decimal operations that would round silently raise. And all get their servers."""

from tollgate_contracts.money import install_exact_context

pytest_plugins = ("tests.servers.fixtures",)

install_exact_context()
