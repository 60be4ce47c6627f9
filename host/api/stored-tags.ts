import type { Owner } from '../sandbox/record.ts'
import type { Store } from '../store/store.ts'
import type { Tag, Tags } from './control-rooms.ts'

interface Kept extends Tag {
  readonly owner: string
  readonly template: string
}

/** Tags in the store. */
export class StoredTags implements Tags {
  readonly #store: Store
  readonly #kept = new Map<string, Kept>()

  private constructor(store: Store) {
    this.#store = store
  }

  static async open(store: Store): Promise<StoredTags> {
    const tags = new StoredTags(store)
    for (const { id, document } of await store.all('tag')) tags.#kept.set(id, document as Kept)
    return tags
  }

  list(template: string, owner: Owner): Tag[] {
    const mine = [...this.#kept.values()].filter((kept) => kept.owner === owner.name && kept.template === template)
    return mine.map(({ tag, createdMs }) => ({ tag, createdMs })).sort((one, other) => one.createdMs - other.createdMs)
  }

  async assign(template: string, tags: readonly string[], owner: Owner, _signal: AbortSignal): Promise<void> {
    for (const tag of tags) {
      const id = idOf(owner, template, tag)
      if (this.#kept.has(id)) continue
      const kept: Kept = { owner: owner.name, template, tag, createdMs: Date.now() }
      await this.#store.put('tag', id, kept)
      this.#kept.set(id, kept)
    }
  }

  async remove(template: string, tags: readonly string[], owner: Owner, _signal: AbortSignal): Promise<void> {
    for (const tag of tags) {
      const id = idOf(owner, template, tag)
      await this.#store.remove('tag', id)
      this.#kept.delete(id)
    }
  }
}

function idOf(owner: Owner, template: string, tag: string): string {
  return JSON.stringify([owner.name, template, tag])
}
