"""Every test runs as the services do: decimal operations that would round silently raise."""

from tollgate_contracts.money import install_exact_context

install_exact_context()
