import type { ScanRule } from '../rule.ts'
import { javascript, python, shell } from './examples.ts'

const HINT = 'Where it is meant (a test of one’s own defences), run it with `--scan report`; the walls are the same.'

/** What destroys a machine, takes it over, or gets out of where it is. */
export const machine: ScanRule[] = [
  {
    name: 'recursive-delete',
    set: 'hostile',
    kind: 'command',
    pattern: String.raw`^(sudo )?(rm\b(?=.*\s(-\w*[rR]|--recursive))(?=.*\s(-\w*f|--force|--no-preserve-root)).*\s["']?(/|/\*|~|~/\*?|\$HOME/?\*?|/(home|root|etc|usr|var|boot|bin|lib|opt|srv)/?\*?)["']?(\s|$)|find\s+(/|~|\$HOME)\s.*-delete|shred\b.*(/dev/|-r)|wipefs\b|mkfs(\.\w+)?\s)`,
    reason: 'it deletes everything there is',
    hint: HINT,
    examples: {
      match: shell('rm -rf /', 'rm -fr ~/*', 'rm -r -f --no-preserve-root /', 'find / -type f -delete'),
      not: shell('rm -rf node_modules', 'rm -rf /tmp/build', 'rm file'),
    },
  },
  {
    name: 'recursive-delete-call',
    set: 'hostile',
    kind: 'call',
    pattern: String.raw`^(shutil\.rmtree|(node:)?fs(\.promises|/promises)?\.(rm|rmdir|rmSync|rmdirSync))$`,
    args: String.raw`^(/|~|/(home|root|etc|usr|var|boot|bin|lib)|/home/user)/?(\s|$)`,
    reason: 'it deletes everything there is',
    hint: HINT,
    examples: {
      match: [...python("import shutil\nshutil.rmtree('/')"), ...javascript("require('fs').rmSync('/', { recursive: true })")],
      not: python("import shutil\nshutil.rmtree('/tmp/build')"),
    },
  },
  {
    name: 'destroys-everything',
    set: 'hostile',
    kind: 'shape',
    pattern: '^destroys-everything$',
    reason: 'it goes through everything there is, and destroys what it finds',
    hint: HINT,
    examples: {
      match: python(
        "import os\nfor f in os.listdir('/'):\n    os.remove('/' + f)",
        "import os\nfor d, _, names in os.walk('/home'):\n    for n in names: os.unlink(os.path.join(d, n))",
        "from pathlib import Path\nfor p in Path('/').rglob('*'): p.unlink()",
      ),
      not: python(
        "import glob, os\nfor p in glob.glob('/tmp/build/*.o'): os.remove(p)",
        "import os\nfor d, _, names in os.walk('/usr'): print(len(names))",
        "from pathlib import Path\nfor p in Path('out').glob('*.tmp'): p.unlink()",
      ),
    },
  },
  {
    name: 'replaces-programs',
    set: 'hostile',
    kind: 'command',
    pattern: String.raw`^(sudo )?(mv\s+(-\w+\s+)*/(usr/)?s?bin/[\w.-]+\s|(cp|mv|install)\s+(-\w+\s+)*/(tmp|dev/shm|var/tmp)/\S+\s+/(usr/)?s?bin/[\w.-]*\s*$)`,
    reason: 'it puts something else in the place of a program of the machine',
    hint: HINT,
    examples: {
      match: shell('mv /bin/ls /bin/ls.old', 'cp /tmp/sshd /usr/sbin/sshd'),
      not: shell('cp build/tool /usr/local/bin/tool', 'mv a.txt b.txt', 'cp /usr/bin/env .'),
    },
  },
  {
    name: 'overwrites-disk',
    set: 'hostile',
    kind: 'command',
    pattern: String.raw`^(sudo )?(dd\b.*\bof=/dev/(sd|vd|nvme|hd|xvd|mapper|mem|disk)|(cat|cp)\b.*\s/dev/(sd|vd|nvme|hd|mem)\w*$)`,
    reason: 'it writes over a disk',
    hint: HINT,
    examples: { match: shell('dd if=/dev/zero of=/dev/sda'), not: shell('dd if=/dev/zero of=image.bin bs=1M count=1') },
  },
  {
    name: 'fork-bomb',
    set: 'hostile',
    kind: 'shape',
    pattern: '^fork-bomb$',
    reason: 'it makes processes without end',
    hint: HINT,
    examples: {
      match: [
        ...shell(':(){ :|:& };:'),
        ...python('import os\nwhile True: os.fork()'),
        ...javascript("const cp = require('child_process')\nfor (;;) cp.fork(__filename)"),
      ],
      not: [...shell('f() { echo x; }; f'), ...python('import os\nif os.fork() == 0: pass')],
    },
  },
  {
    name: 'miner',
    set: 'hostile',
    kind: 'text',
    pattern: String.raw`stratum\+(tcp|ssl)://|\b(xmrig|minerd|cpuminer|cgminer|ethminer|nbminer|t-rex-miner|phoenixminer|xmr-stak|coinhive|cryptonight|randomx)\b|(minexmr|supportxmr|nanopool|nicehash|2miners|ethermine|f2pool|moneroocean)\.(com|org|stream)`,
    reason: 'a miner of crypto currency',
    hint: HINT,
    examples: {
      match: [...shell('./xmrig -o pool:3333'), ...python("subprocess.run(['./m', '-o', 'stratum+tcp://pool.example:3333'])")],
      not: python("title = 'data mining'"),
    },
  },
  {
    name: 'persistence',
    set: 'hostile',
    kind: 'text',
    pattern: String.raw`etc/(cron[\w.]*(/|$)|crontab|rc\.local|init\.d/|ld\.so\.preload|profile\.d/|systemd/system/|pam\.d/)|var/spool/cron|\.config/(autostart|systemd/user)/|\.git/hooks/|core_pattern|release_agent|uevent_helper|binfmt_misc/register|/(\.bashrc|\.bash_profile|\.zshrc|\.profile)$|^~/(\.bashrc|\.profile|\.zshrc|\.bash_profile)$`,
    reason: 'a place from which the machine starts programs by itself',
    hint: HINT,
    examples: {
      match: [...python("open('/etc/cron.d/x', 'w')"), ...shell('echo x >> ~/.bashrc', 'echo x > /proc/sys/kernel/core_pattern')],
      not: python("open('/etc/hostname')"),
    },
  },
  {
    name: 'writes-to-the-system',
    set: 'hostile',
    kind: 'write',
    pattern: String.raw`^/etc/(passwd|shadow|group|gshadow|hosts\.(allow|deny)|sudoers(\.d/\S*)?|environment|profile|bash\.bashrc|ld\.so\.\S+|ssh/\S+|resolv\.conf|inittab|modules\S*)$|^/proc/sys/|^/sys/(kernel|fs|module|firmware)/|^/boot/`,
    reason: 'it changes who may do what on the machine, or what runs on it',
    hint: HINT,
    examples: {
      match: [
        ...python("open('/etc/passwd', 'a').write('x::0:0::/:/bin/sh')"),
        ...javascript("require('fs').appendFileSync('/etc/profile', 'x')"),
        ...shell("echo 'x::0:0::/:/bin/sh' >> /etc/passwd", 'echo 0 | tee /proc/sys/kernel/randomize_va_space'),
      ],
      not: [...python("open('/etc/passwd').read()", "open('out.txt', 'w')"), ...shell('grep root /etc/passwd > out', 'cat /etc/passwd')],
    },
  },
  {
    name: 'preloads-code',
    set: 'hostile',
    kind: 'variable',
    pattern: String.raw`^(LD_PRELOAD|LD_AUDIT|LD_LIBRARY_PATH|BASH_ENV|PROMPT_COMMAND|PYTHONSTARTUP|NODE_OPTIONS)=.*(^|[/=\s])(tmp|dev/shm|var/tmp|\.[\w-]+)/`,
    reason: 'code that every program loads from then on, from where anybody may write',
    hint: HINT,
    examples: {
      match: shell('export LD_PRELOAD=/dev/shm/x.so', 'LD_PRELOAD=/tmp/.x/h.so sudo -n true'),
      not: shell(
        'LD_PRELOAD=/usr/lib/libjemalloc.so node a.js',
        'NODE_OPTIONS=--max-old-space-size=4096 npm test',
        'LD_LIBRARY_PATH=./lib ./a',
      ),
    },
  },
  {
    name: 'port-scan',
    set: 'hostile',
    kind: 'shape',
    pattern: '^port-scan$',
    reason: 'it tries one address or port after the other',
    hint: HINT,
    examples: {
      match: python('import socket\nfor p in range(1, 1024):\n    s = socket.socket()\n    s.connect_ex((host, p))'),
      not: python('import socket\nfor host in hosts:\n    socket.gethostbyname(host)', 'for _ in range(30):\n    s.connect_ex(address)'),
    },
  },
  {
    name: 'attack-tool',
    set: 'hostile',
    kind: 'command',
    pattern: String.raw`^(sudo )?(hydra|medusa|ncrack|patator|hashcat|john|msfconsole|msfvenom|sqlmap|mimikatz|responder|crackmapexec|netexec|nxc|masscan|zmap|linpeas(\.sh)?|chisel|ligolo\S*|aircrack-ng|ettercap|bettercap|arpspoof|nikto|gobuster|wpscan)\b`,
    reason: 'a tool for attacks on others',
    hint: HINT,
    examples: { match: shell('hydra -l root -P list ssh://h', 'masscan 10.0.0.0/8 -p22'), not: shell('echo hydra', 'ls john') },
  },
  {
    name: 'guesses-passwords',
    set: 'hostile',
    kind: 'text',
    pattern: String.raw`\b(rockyou|word-?list|pass(word)?-?list|(common|top|default)[-_]?passw(or)?ds?|10k-most-common)\b`,
    also: [
      { kind: 'import', pattern: '^(paramiko|ftplib|telnetlib|smtplib|imaplib|poplib|fabric|asyncssh|pexpect|pxssh|ssh2|requests|httpx)$' },
    ],
    reason: 'it tries passwords one after the other',
    hint: HINT,
    examples: {
      match: python("import paramiko\nfor p in open('rockyou.txt'): c.connect(h, password=p)"),
      not: python("words = open('wordlist.txt')", 'import paramiko'),
    },
  },
  {
    name: 'persistence-command',
    set: 'hostile',
    kind: 'command',
    pattern: String.raw`^(sudo )?(crontab\s+(-\s*$|/|\S+$)(?<!-l)|useradd\b.*-\w*o|chmod\s+([ug]*\+s|[2467]\d{3})\s|chattr\s+\+i|visudo|insmod|modprobe|kexec|setcap\b.*cap_)`,
    reason: 'it makes itself at home on the machine',
    hint: HINT,
    examples: {
      match: shell('chmod u+s /tmp/sh', 'chmod 4755 /tmp/sh', 'crontab -'),
      not: shell('chmod 755 run.sh', 'crontab -l', 'chmod +x a'),
    },
  },
  {
    name: 'container-escape',
    set: 'hostile',
    kind: 'text',
    pattern: String.raw`docker\.sock\b|containerd\.sock|/proc/1/root|/proc/\d+/ns/|crio\.sock|/dev/kmsg$|/sys/fs/cgroup/.*(release_agent|notify_on_release)|/proc/sysrq-trigger|/proc/kcore`,
    reason: 'a way out of a container',
    hint: HINT,
    examples: {
      match: [...shell('curl --unix-socket /var/run/docker.sock http://x/containers/json'), ...python("os.listdir('/proc/1/root')")],
      not: shell('docker ps'),
    },
  },
  {
    name: 'container-escape-command',
    set: 'hostile',
    kind: 'command',
    pattern: String.raw`^(sudo )?(nsenter\b|unshare\b.*(-\w*[UrmM]|--(user|mount|map-root))|mount\b.*(/dev/(sd|vd|nvme)|-t\s*(cgroup|proc|overlay))|chroot\s+/(host|mnt|proc)|docker\s+run\b.*(--privileged|-v\s*/:|--pid=host)|capsh\b|debugfs\b)`,
    reason: 'a way out of a container',
    hint: HINT,
    examples: {
      match: shell('nsenter -t 1 -m sh', 'docker run --privileged -v /:/host alpine', 'unshare -Ur sh'),
      not: shell('docker run alpine', 'mount'),
    },
  },
  {
    name: 'covers-tracks',
    set: 'hostile',
    kind: 'command',
    pattern: String.raw`^(history\s+-\w*c|unset\s+HISTFILE|export\s+HISTFILE=/dev/null|(systemctl|service)\s+(stop|disable)\s+(auditd|rsyslog|syslog|falco)|auditctl\s+-(D|e\s*0)|setenforce\s+0|iptables\s+-F|pkill\b.*(falco|auditd|caisson)|journalctl\s+--vacuum)`,
    reason: 'it covers its tracks, or stops those who watch',
    hint: HINT,
    examples: { match: shell('history -c', 'unset HISTFILE', 'systemctl stop auditd'), not: shell('history', 'systemctl status nginx') },
  },
]
