/** Options of other systems that users will try. They are refused like any unknown field, with a message that says why they do not exist here. */
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

/** The message for an unknown field. */
export function notKnown(field: string): string {
  const why = NOT_YET.get(field.split('.').at(-1) ?? '')
  return why === undefined ? `${field}: no such field` : `${field}: not there yet: ${why}`
}
