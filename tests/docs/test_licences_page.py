"""What the images contain is listed with its licence, and nothing of it asks more of us than to be named."""

import re

import pytest

from tests.docs.generate_licences import PAGE, licence, page, runtime_packages

# Words of licences that let anybody use, change and pass on what is under them, with their text.
_PERMISSIVE = re.compile(r"MIT|BSD|Apache|PSF|ISC|MPL-2\.0|Python Software Foundation|Unlicense")


def test_the_page_is_what_the_lock_says():
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("name", runtime_packages())
def test_a_package_may_be_passed_on(name: str):
    stated = licence(name)
    assert stated is None or _PERMISSIVE.search(stated), stated
