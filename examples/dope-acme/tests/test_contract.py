from dope.core.testing import contract_tests

test_contract = contract_tests("acme")
