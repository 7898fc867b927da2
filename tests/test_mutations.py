"""The mutations with which tests/helpers/mutations.py tries the tests can all be made."""

import pytest
from mutations import MUTATIONS, Mutation, place_of


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.text)
def test_a_mutation_changes_one_place(mutation: Mutation) -> None:
    assert place_of(mutation).startswith("ocvp/")
    assert mutation.replacement != mutation.text
