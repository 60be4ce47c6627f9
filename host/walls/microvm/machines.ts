/** What the operator lets run machines. `auto`: Firecracker where there is one and it starts a machine, else QEMU. */
export const MACHINES = ['auto', 'qemu', 'firecracker'] as const
export type Machines = (typeof MACHINES)[number]
