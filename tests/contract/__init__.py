import pytest

pytest.register_assert_rewrite(
    "tests.contract.tools", "tests.contract.archive_contract", "tests.contract.inbox_contract"
)
