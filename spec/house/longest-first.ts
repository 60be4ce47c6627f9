import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Minutes or most of one. Left to the end, one of them would keep all but one of the workers waiting. */
const LONG = [
  'walls/promises',
  'escape/weakened',
  'cli/attack',
  'walls/restored',
  'e2b/gvisor',
  'runtimes/languages',
  'e2b/javascript',
  'e2b/microvm',
  'cli/audit',
  'walls/everyday',
  'e2b/python',
  'walls/freeze',
  'walls/machine-life',
  'daemon/pool',
]

/** The order of a run: within a group, what takes long begins first. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const index = LONG.findIndex((name) => moduleId.endsWith(`/spec/${name}.spec.ts`))
      return index < 0 ? LONG.length : index
    }
    const sorted = await super.sort(files)
    return sorted.toSorted((one, other) => place(one) - place(other))
  }
}
