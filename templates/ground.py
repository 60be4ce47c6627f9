"""The layer that lies between the machine's /usr and what a sandbox changes of its root: python3 ground.py FOLDER ETC [INTERPRETER]

In FOLDER, for a root that can be written to (native/keeper/src/overlay.rs):
- of /usr, what is hidden: whatever not everybody on this machine may read, because the sandbox's root may read all that is root's there; and
  /usr/local, where administrators put what is theirs. Hidden as overlayfs knows it: a device 0:0, and the attribute `trusted.overlay.opaque`.
- below `.caisson`, the rest of the root: a copy of the template's /etc, what package tools need in it and in /var, and empty folders;
  for a template with a Python, made by INTERPRETER, an environment above it that may be installed into.
Prints a digest of it all. Needs root.
"""

import hashlib
import os
import stat
import sys

REST = '.caisson'
OPAQUE = 'trusted.overlay.opaque'
LOCAL = ('bin', 'etc', 'games', 'include', 'lib', 'sbin', 'share', 'src')
FOLDERS = (
    'boot caisson dev etc home/user media mnt opt proc root run srv sys tmp usr var/backups var/cache/apt/archives/partial var/cache/debconf '
    'var/lib/apt/lists/partial var/lib/dpkg var/lib/misc var/local var/log/apt var/mail var/opt var/spool var/tmp'
).split()
MODES = {'root': 0o711, 'tmp': 0o1777, 'var/tmp': 0o1777, 'run/lock': 0o1777}
# What package tools read in /etc. Of apt, not `auth.conf`.
PACKAGING = ('adduser.conf', 'apt', 'debconf.conf', 'deluser.conf', 'dpkg', 'login.defs', 'skel', 'ucf.conf')
APT = ('sources.list', 'sources.list.d', 'keyrings', 'preferences', 'preferences.d', 'trusted.gpg', 'trusted.gpg.d')
# There is one user to fetch packages as, and no terminal to ask.
APT_OWN = 'APT::Sandbox::User "root";\n'
# pip is to install where it is told to: nobody else's system is at stake.
UNWANTED = ('EXTERNALLY-MANAGED',)
DATABASE = '/var/lib/dpkg'
# host/templates/search-path.ts, and where a template's own Python is.
OWN_PYTHON = '/opt/caisson/python'
BROUGHT_PYTHON = '/caisson/python'
USER = 1000
PIP = f'#!{OWN_PYTHON}/bin/python\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n'
# Speaks of users that are not there; dpkg ends itself over each.
EMPTY = ('statoverride',)


class Ground:
    def __init__(self, folder):
        self.folder = folder
        self.digest = hashlib.sha256()

    def at(self, *parts):
        return os.path.join(self.folder, *parts)

    def note(self, *words):
        self.digest.update('\0'.join(map(str, words)).encode('utf-8', 'surrogateescape') + b'\n')

    def make(self, path, mode=0o755):
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)

    def write(self, path, content, mode=0o644):
        self.note('write', path, mode)
        self.digest.update(content)
        place = self.at(path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, 'xb') as file:
            file.write(content)
        os.chmod(place, mode)

    def opaque(self, path):
        self.make(self.at(path))
        os.setxattr(self.at(path), OPAQUE, b'y')

    def hide(self, path, like):
        """Its parents look as they do in `like`, because the uppermost layer says how."""
        self.note('hide', path)
        parent = os.path.dirname(path)
        done = ''
        for part in filter(None, parent.split('/')):
            done = os.path.join(done, part)
            self.make(self.at(done), stat.S_IMODE(os.stat(os.path.join(like, done)).st_mode))
        os.mknod(self.at(path), stat.S_IFCHR, os.makedev(0, 0))

    def copy(self, source, path):
        """Only what everybody may read, and no links that lead elsewhere."""
        found = os.lstat(source)
        if stat.S_ISDIR(found.st_mode) and found.st_mode & 0o005 == 0o005:
            self.make(self.at(path))
            for name in sorted(os.listdir(source)):
                self.copy(os.path.join(source, name), os.path.join(path, name))
        elif stat.S_ISREG(found.st_mode) and found.st_mode & 0o004:
            with open(source, 'rb') as file:
                self.write(path, file.read(), 0o755 if found.st_mode & 0o111 else 0o644)
        elif stat.S_ISLNK(found.st_mode):
            self.note('link', path, os.readlink(source))
            os.symlink(os.readlink(source), self.at(path))


def private(folder):
    """What not everybody may read below it, without /usr/local. Folders of other file systems are not looked into: they are not shown either."""
    device = os.lstat(folder).st_dev
    waiting = ['']
    while waiting:
        inner = waiting.pop()
        with os.scandir(os.path.join(folder, inner)) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                path = os.path.join(inner, entry.name)
                if path in ('local', REST):
                    continue
                found = entry.stat(follow_symlinks=False)
                needed = 0o005 if stat.S_ISDIR(found.st_mode) else 0o004
                if stat.S_ISLNK(found.st_mode):
                    continue
                if found.st_mode & needed != needed or entry.name in UNWANTED:
                    yield path
                elif stat.S_ISDIR(found.st_mode) and found.st_dev == device:
                    waiting.append(path)


def below_usr(ground):
    for path in private('/usr'):
        ground.hide(path, '/usr')
    ground.opaque('local')
    for name in LOCAL:
        ground.make(ground.at('local', name))
    os.symlink('share/man', ground.at('local/man'))
    ground.opaque(REST)


def rest(ground, etc):
    for path in FOLDERS:
        place = ground.at(REST)
        for part in path.split('/'):
            place = os.path.join(place, part)
            ground.make(place)
    ground.make(ground.at(REST, 'run/lock'))
    for path, mode in MODES.items():
        os.chmod(ground.at(REST, path), mode)
    for path, to in (('var/run', '/run'), ('var/lock', '/run/lock')):
        os.symlink(to, ground.at(REST, path))
    for name in ('bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'):
        if os.path.islink(f'/{name}'):
            os.symlink(os.readlink(f'/{name}'), ground.at(REST, name))
    for name in sorted(os.listdir(etc)):
        ground.copy(os.path.join(etc, name), f'{REST}/etc/{name}')
    # Not for everybody to read, so it was not copied.
    with open(os.path.join(etc, 'sudoers'), 'rb') as file:
        ground.write(f'{REST}/etc/sudoers', file.read(), 0o440)


def packaging(ground):
    for name in PACKAGING:
        source = os.path.join('/etc', name)
        if name != 'apt' and os.path.exists(source):
            ground.copy(source, f'{REST}/etc/{name}')
    for name in APT:
        source = os.path.join('/etc/apt', name)
        if os.path.exists(source) and not says_who(source):
            ground.make(ground.at(REST, 'etc/apt'))
            ground.copy(source, f'{REST}/etc/apt/{name}')
    ground.make(ground.at(REST, 'etc/apt/apt.conf.d'))
    ground.write(f'{REST}/etc/apt/apt.conf.d/90caisson', APT_OWN.encode())
    accounts(ground)
    if os.path.isdir(DATABASE):
        for name in sorted(os.listdir(DATABASE)):
            if name in EMPTY:
                ground.write(f'{REST}{DATABASE}/{name}', b'')
            elif not name.startswith('lock') and not name.endswith('-old'):
                ground.copy(os.path.join(DATABASE, name), f'{REST}{DATABASE}/{name}')


def says_who(source):
    """Whether an address in it has a user, and maybe a password, in front."""
    files = [source]
    if os.path.isdir(source):
        files = [os.path.join(source, name) for name in os.listdir(source)]
    for path in filter(os.path.isfile, files):
        with open(path, 'rb') as file:
            for line in file.read().splitlines():
                address = line.partition(b'://')[2].split(b' ')[0]
                if b'@' in address.split(b'/')[0]:
                    return True
    return False


def accounts(ground):
    """Those that every system of this kind has, from the package that brings them, behind the template's own; passwords are nobody's."""
    for kind, secrets, fields in (('passwd', 'shadow', '*:20000:0:99999:7:::'), ('group', 'gshadow', '*::')):
        place = ground.at(REST, 'etc', kind)
        with open(place) as file:
            lines = file.read().splitlines()
        names = {line.split(':')[0] for line in lines}
        master = f'/usr/share/base-passwd/{kind}.master'
        if os.path.exists(master):
            with open(master) as file:
                for line in file.read().splitlines():
                    name, _, others = line.split(':', 2)
                    if name not in names:
                        lines.append(f'{name}:x:{others}')
        os.remove(place)
        ground.write(f'{REST}/etc/{kind}', ('\n'.join(lines) + '\n').encode())
        hidden = ''.join(f'{line.split(":")[0]}:{fields}\n' for line in lines)
        ground.write(f'{REST}/etc/{secrets}', hidden.encode(), 0o640)


def environment(ground, interpreter):
    """Where pip puts what somebody installs, and what is there comes first; behind it is all that the template brings, which nobody can change."""
    version = os.path.basename(interpreter).removeprefix('python')
    place = f'{REST}{OWN_PYTHON}'
    packages = f'lib/python{version}/site-packages'
    ground.write(f'{place}/pyvenv.cfg', f'home = {os.path.dirname(interpreter)}\ninclude-system-site-packages = false\n'.encode())
    ground.write(f'{place}/{packages}/caisson.pth', f"import site; site.addsitedir('{BROUGHT_PYTHON}/{packages}')\n".encode())
    for name, to in (('python', interpreter), ('python3', 'python'), (f'python{version}', 'python')):
        ground.note('link', name, to)
        ground.make(ground.at(place, 'bin'))
        os.symlink(to, ground.at(place, 'bin', name))
    for name in ('pip', 'pip3', f'pip{version}'):
        ground.write(f'{place}/bin/{name}', PIP.encode(), 0o755)
    for folder, _, files in os.walk(ground.at(place)):
        for path in (folder, *(os.path.join(folder, name) for name in files)):
            os.chown(path, USER, USER, follow_symlinks=False)


def main(folder, etc, interpreter=None):
    os.umask(0o022)
    os.mkdir(folder)
    ground = Ground(folder)
    with open(__file__, 'rb') as file:
        ground.digest.update(file.read())
    below_usr(ground)
    rest(ground, etc)
    packaging(ground)
    if interpreter is not None:
        environment(ground, interpreter)
    print(ground.digest.hexdigest())


main(*sys.argv[1:])
