"""Every house rule, on the tree itself."""

import unittest

import checks
from tree import Tree


class RepositoryTest(unittest.TestCase):
    def test_keeps_the_house_rules(self):
        tree = Tree.from_disk()
        self.assertIn("core/base/async.h", tree.files)
        for check in checks.ALL_CHECKS:
            with self.subTest(check=check.__name__):
                violations = check(tree)
                self.assertFalse(violations, "\n" + "\n".join(map(str, violations)))


if __name__ == "__main__":
    unittest.main()
