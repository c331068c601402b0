"""The .deb and the tarball, packed from the build that is there: what they hold, and that what they hold starts."""

import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile
import unittest

REPO = pathlib.Path(__file__).resolve().parents[3]


def output(*command, **options):
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True, check=False, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


class PackagesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="quarry-packages-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        output("cpack", "-B", cls.folder, cwd=os.environ["BUILD_FOLDER"])
        cls.deb = next(cls.folder.glob("*.deb"))
        cls.tarball = next(cls.folder.glob("*.tar.gz"))
        text = (REPO / "CMakeLists.txt").read_text(encoding="utf-8")
        cls.version = re.search(r"project\(quarry VERSION (\S+)", text).group(1)

    def field(self, name):
        return output("dpkg-deb", "--field", self.deb, name).strip()

    def test_the_deb_has_name_version_and_the_libraries_that_the_binaries_need(self):
        self.assertEqual(self.field("Package"), "quarry")
        self.assertEqual(self.field("Version"), self.version)
        depends = {word.split()[0] for word in self.field("Depends").split(", ")}
        self.assertLessEqual({"libc6", "libgrpc++1.51", "libpq5", "libsqlite3-0", "adduser"}, depends)
        self.assertFalse([name for name in depends if name.endswith("-dev") or "asan" in name], depends)

    def test_the_deb_holds_programs_unit_configuration_and_docs(self):
        files = {line.split(maxsplit=5)[5]: line.split()[:2] for line in
                 output("dpkg-deb", "--contents", self.deb).splitlines()}
        for path in ("usr/bin/quarryd", "usr/bin/quarryctl", "usr/bin/quarry-load", "etc/quarry/quarry.yaml",
                     "lib/systemd/system/quarryd.service", "usr/share/doc/quarry/docs/operating.md",
                     "usr/share/doc/quarry/copyright", "usr/share/doc/quarry/changelog.gz",
                     "usr/share/quarry/proto/quarry/v1/data.proto", "usr/share/quarry/proto/quarry/v1/service_config.json"):
            self.assertIn(f"./{path}", files)
        self.assertEqual(files["./usr/bin/quarryd"], ["-rwxr-xr-x", "root/root"])
        self.assertFalse([path for path in files if "/local/" in path or path.startswith("./src")])
        control = self.folder / "control"
        output("dpkg-deb", "--control", self.deb, control)
        self.assertEqual((control / "conffiles").read_text(encoding="utf-8"), "/etc/quarry/quarry.yaml\n")
        for script in ("postinst", "prerm", "postrm"):
            self.assertTrue(os.access(control / script, os.X_OK), script)
            output("sh", "-n", control / script)
            output("shellcheck", control / script)

    def test_programs_are_stripped_and_know_their_version(self):
        root = self.folder / "root"
        output("dpkg-deb", "--extract", self.deb, root)
        for name in ("quarryd", "quarryctl", "quarry-load"):
            self.assertNotIn(".debug_info", output("readelf", "--section-headers", "--wide", root / "usr/bin" / name))
            self.assertEqual(output(root / "usr/bin" / name, "--version").strip(), f"{name} {self.version}")

    def test_each_package_has_its_checksum_beside_it(self):
        for package in (self.deb, self.tarball):
            said = output("sha256sum", "--check", "--strict", f"{package.name}.sha256", cwd=self.folder)
            self.assertEqual(said, f"{package.name}: OK\n")

    def test_the_configuration_that_is_installed_is_good(self):
        good = output(os.environ["QUARRYD"], "config", "check", "--config", REPO / "packaging" / "quarry.yaml")
        self.assertIn("2 shards", good)

    def test_the_unit_waits_longer_than_a_drain_and_is_good(self):
        unit = (REPO / "packaging" / "quarryd.service").read_text(encoding="utf-8")
        effective = output(os.environ["QUARRYD"], "config", "print", "--config", REPO / "packaging" / "quarry.yaml")
        drain = int(re.search(r"^drain_timeout: (\d+)s$", effective, re.MULTILINE).group(1))
        self.assertGreater(int(re.search(r"TimeoutStopSec=(\d+)", unit).group(1)), drain)
        self.assertIsNotNone(shutil.which("systemd-analyze"), "install the package systemd; ./dev test does")
        # The unit names programs where a package puts them.
        here = self.folder / "quarryd.service"
        here.write_text(unit.replace("/usr/bin/quarryd", os.environ["QUARRYD"]), encoding="utf-8")
        output("systemd-analyze", "verify", "--man=no", here)

    def test_the_tarball_is_one_folder_with_all_that_runs_by_itself(self):
        with tarfile.open(self.tarball) as tar:
            names = tar.getnames()
            top = {name.split("/")[0] for name in names}
            self.assertEqual(len(top), 1, top)
            self.assertRegex(next(iter(top)), rf"^quarry-{re.escape(self.version)}-linux-\w+$")
            for path in ("bin/quarryd", "share/quarry/LICENSE", "share/quarry/quarryd.service",
                         "share/quarry/quarry.yaml", "share/quarry/proto/quarry/v1/service_config.json",
                         "share/doc/quarry/docs/start.md"):
                self.assertIn(f"{next(iter(top))}/{path}", names)


if __name__ == "__main__":
    unittest.main()
