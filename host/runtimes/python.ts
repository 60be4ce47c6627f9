import { LANGUAGES } from '@caisson/wire'
import type { Runtime } from './runtime.ts'

/** IPython. Without a zygote it starts cold, with the libraries limited to one thread each, as the zygote limits them. */
export const python: Runtime = {
  name: 'python',
  aliases: LANGUAGES.python,
  mend: 'Use template code-interpreter.',
  zygote: true,
  renews: true,
  // What most code imports. With pandas and matplotlib the state would be three times as large, and a restore of a copy would take three times as long.
  warm: { usual: ['numpy'], large: ['numpy', 'pandas', 'matplotlib.pyplot'] },
  start: {
    command: 'python3',
    args: ['/caisson/runtimes/python/main.py'],
    env: { OPENBLAS_NUM_THREADS: '1', OMP_NUM_THREADS: '1', MKL_NUM_THREADS: '1', NUMEXPR_NUM_THREADS: '1' },
  },
}
