/** What other systems have and people will ask for by these names: refused like any field that is not known, and told plainly that it is no slip of the pen. */
const NOT_YET: ReadonlyMap<string, string> = new Map(
  Object.entries({
    gpu: 'no sandbox has a GPU',
    image: 'sandboxes start from the templates of this machine (`template`), not from images of one’s own',
    scale: 'nothing starts and ends sandboxes by what is asked of them',
    schedule: 'nothing starts sandboxes by the clock',
    budget: 'nothing counts money',
    regions: 'there is one machine',
    services: 'there are no services of a cloud to allow or deny',
  }),
)

/** What is said of a field that is not known. */
export function notKnown(field: string): string {
  const why = NOT_YET.get(field.split('.').at(-1) ?? '')
  return why === undefined ? `${field}: no such field` : `${field}: not there yet: ${why}`
}
