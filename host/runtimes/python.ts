import { LANGUAGES } from '@caisson/wire'
import type { Runtime } from './runtime.ts'

/** IPython. Without a zygote it starts cold, with the libraries' own threads kept to one as the zygote keeps them. */
export const python: Runtime = {
  name: 'python',
  aliases: LANGUAGES.python,
  mend: 'Use template code-interpreter.',
  zygote: true,
  renews: true,
  // What most of what is run asks for. pandas and matplotlib make a state three times as large, and a restore of a copy three times as long.
  warm: { usual: ['numpy'], large: ['numpy', 'pandas', 'matplotlib.pyplot'] },
  start: {
    command: 'python3',
    args: ['/caisson/runtimes/python/main.py'],
    env: { OPENBLAS_NUM_THREADS: '1', OMP_NUM_THREADS: '1', MKL_NUM_THREADS: '1', NUMEXPR_NUM_THREADS: '1' },
  },
}
