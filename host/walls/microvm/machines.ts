/** What the operator allows to run machines. `auto`: Firecracker if there is one that starts a machine, else QEMU. */
export const MACHINES = ['auto', 'qemu', 'firecracker'] as const
export type Machines = (typeof MACHINES)[number]
