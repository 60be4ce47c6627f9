import { copyFileSync, existsSync, statSync } from 'node:fs'
import { Fault } from '@caisson/wire'
import Database from 'libsql'
import type { Kind, Store, Stored } from './store.ts'

/** Each runs once, in order. The database's `user_version` is the number of those applied. Append only, never edit. */
const MIGRATIONS = [
  `CREATE TABLE documents (
     kind TEXT NOT NULL,
     id TEXT NOT NULL,
     changed_ms INTEGER NOT NULL,
     document TEXT NOT NULL,
     PRIMARY KEY (kind, id)
   ) WITHOUT ROWID`,
]

/** Writes are synchronous, so every request waits for a lock this long. If another process holds it longer, the write fails. */
const BUSY_MS = 500

/** SQLite in one file. A write is in the write-ahead log when it returns, so the end of this process loses nothing. */
export class SqliteStore implements Store {
  readonly #database: Database.Database
  readonly #path: string
  readonly #put: Database.Statement
  readonly #remove: Database.Statement
  readonly #all: Database.Statement

  private constructor(path: string, database: Database.Database) {
    this.#path = path
    this.#database = database
    this.#put = database.prepare('INSERT OR REPLACE INTO documents (kind, id, changed_ms, document) VALUES (?, ?, ?, ?)')
    this.#remove = database.prepare('DELETE FROM documents WHERE kind = ? AND id = ?')
    this.#all = database.prepare('SELECT id, document FROM documents WHERE kind = ? ORDER BY id')
  }

  /** Throws STORE_UNUSABLE. A damaged database is left as it is, with a copy beside it. */
  static open(path: string): SqliteStore {
    const isNew = !existsSync(path) || statSync(path).size === 0
    let database: Database.Database | undefined
    try {
      database = new Database(path, { timeout: BUSY_MS })
      if (!isNew) check(database)
      // NORMAL with a write-ahead log: writes survive the end of this process, but perhaps not a power failure.
      database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
      migrate(database)
      return new SqliteStore(path, database)
    } catch (cause) {
      database?.close()
      throw unusable(path, cause, isNew)
    }
  }

  async put(kind: Kind, id: string, document: unknown): Promise<void> {
    this.#do(() => this.#put.run(kind, id, Date.now(), JSON.stringify(document)))
  }

  async remove(kind: Kind, id: string): Promise<void> {
    this.#do(() => this.#remove.run(kind, id))
  }

  async all(kind: Kind): Promise<Stored[]> {
    const rows = this.#do(() => this.#all.all(kind)) as { id: string; document: string }[]
    return rows.map(({ id, document }) => ({ id, document: JSON.parse(document) as unknown }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Closing alone does not write the log back: prepared statements keep the database half open (seen with libsql 0.5).
    this.#database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    this.#database.close()
  }

  #do<T>(what: () => T): T {
    try {
      return what()
    } catch (cause) {
      throw new Fault('STORE_UNUSABLE', `${this.#path}: ${message(cause)}`, {
        cause,
        hint: `Nothing of it is lost. ${isHeld(cause) ? 'Let go of the lock: another program holds it' : 'Free the disk'}, then try again.`,
      })
    }
  }
}

function check(database: Database.Database): void {
  const [found] = database.prepare('PRAGMA quick_check(1)').all() as { quick_check: string }[]
  if (found?.quick_check !== 'ok') throw new Error(`damaged: ${found?.quick_check ?? 'no answer'}`)
}

function migrate(database: Database.Database): void {
  const [{ user_version: version } = { user_version: 0 }] = database.prepare('PRAGMA user_version').all() as { user_version: number }[]
  if (version > MIGRATIONS.length)
    throw new Error(`it was written by a newer version of Caisson (${version}; this one knows ${MIGRATIONS.length})`)
  for (const [index, sql] of MIGRATIONS.entries()) {
    if (index >= version) database.exec(`BEGIN IMMEDIATE; ${sql}; PRAGMA user_version = ${index + 1}; COMMIT`)
  }
}

function unusable(path: string, cause: unknown, isNew: boolean): Fault {
  const what = message(cause)
  if (isNew || !/damaged|malformed|not a database|corrupt/i.test(what)) return new Fault('STORE_UNUSABLE', `${path}: ${what}`, { cause })
  const copy = `${path}.damaged-${new Date().toISOString().replaceAll(':', '')}`
  copyFileSync(path, copy)
  return new Fault('STORE_UNUSABLE', `${path} is damaged (${what}); it was left as it is, and copied to ${copy}`, {
    hint: `Mend it with \`sqlite3 ${path} .recover\`, or move it away to start without what it knew.`,
    cause,
  })
}

function message(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

function isHeld(cause: unknown): boolean {
  return /database is locked/.test(message(cause))
}
