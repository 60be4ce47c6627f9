import { afterAll } from 'vitest'
import { attack, python, shared } from './attack.ts'
import { Project, SECRET, SECRETS } from './project-folder.ts'

const project = await Project.make()
/** For the attack without the wall. */
const unguarded = await Project.make()
const wall = shared({ profile: 'project', folder: project.folder, network: 'none' })
afterAll(() => Promise.all([project, unguarded].map((one) => one[Symbol.asyncDispose]())))

attack(wall, 'reading secret files of the project', {
  why: 'keys of the caller’s services lie beside the code',
  facts: (walled) => ({ folder: (walled ? project : unguarded).folder, secrets: SECRETS, secret: SECRET }),
  stoppedBy: /^(empty|ENOENT|EACCES|EPERM|EXDEV|EBUSY|EROFS|EINVAL)/,
  untouched: () => project.check(),
  users: ['user'],
  code: python`
os.chdir(facts['folder'])

def read(path):
    with open(path) as file:
        found = file.read()
    if found == '':
        raise Contained('empty')
    assert found == facts['secret'], found
    return found

for secret in facts['secrets']:
    way(secret)(lambda secret=secret: read(secret))

@way('through a link of the project')
def link():
    return read('.env.local')

@way('through a link of its own')
def own_link():
    os.symlink('.env', 'link')
    return read('link')

@way('through /proc')
def through_proc():
    return read('/proc/self/cwd/.env')

@way('a hard link')
def hard_link():
    os.link('.env', 'hard')
    return read('hard')

@way('renamed')
def renamed():
    os.rename('.env', 'moved')
    found = read('moved')
    os.rename('moved', '.env')
    return found

@way('the folder on the way renamed')
def parent():
    os.rename('config/deep', 'config/elsewhere')
    return read('config/elsewhere/.env.production')

@way('the folder above that renamed')
def grandparent():
    os.rename('config', 'settings')
    return read('settings/' + ('elsewhere' if os.path.exists('settings/elsewhere') else 'deep') + '/.env.production')

@way('exchanged for another folder')
def exchanged():
    os.makedirs('fresh', exist_ok=True)
    syscall('renameat2', -100, b'fresh', -100, b'certificates', 2)
    return read('fresh/server.key')

@way('the cover taken away')
def uncovered():
    os.remove('.aws/credentials') if os.path.exists('.aws/credentials') else os.rmdir('.aws')
    return 'removed'

@way('written over')
def written():
    with open('id_ed25519', 'w') as file:
        file.write('another')
    return 'written'
`,
})
