import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign, verify } from 'node:crypto'
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Fault } from '@caisson/wire'

/** The installation's own key (Ed25519). Its signatures prove origin as long as nobody else can read the state folder. */
export class SigningKey {
  readonly #secret: KeyObject
  readonly public: PublicKey

  private constructor(secret: KeyObject) {
    this.#secret = secret
    this.public = new PublicKey(createPublicKey(secret))
  }

  /** Reads the folder's key, or creates it. Throws AUDIT_UNWRITABLE. */
  static open(folder: string): SigningKey {
    const path = join(folder, 'key.pem')
    try {
      const key = new SigningKey(createPrivateKey(readOrMake(path)))
      // For verifiers, who must not be able to sign.
      writeFileSync(join(folder, 'public.pem'), key.public.pem, { mode: 0o644 })
      return key
    } catch (cause) {
      throw new Fault('AUDIT_UNWRITABLE', `${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    }
  }

  /** Base64. */
  sign(text: string): string {
    return sign(null, Buffer.from(text), this.#secret).toString('base64')
  }
}

export class PublicKey {
  readonly #key: KeyObject
  /** SHA-256 of the key, hexadecimal: the installation's identity. */
  readonly id: string

  constructor(key: KeyObject) {
    this.#key = key
    this.id = createHash('sha256')
      .update(key.export({ type: 'spki', format: 'der' }))
      .digest('hex')
  }

  /** Throws BAD_REQUEST, naming the file. */
  static read(path: string): PublicKey {
    try {
      const key = createPublicKey(readFileSync(path))
      if (key.asymmetricKeyType !== 'ed25519') throw new Error(`it is of the kind ${key.asymmetricKeyType}`)
      return new PublicKey(key)
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new Fault('BAD_REQUEST', `${path} is no public key (Ed25519, PEM): ${why}`, { cause })
    }
  }

  /** PEM. */
  static of(text: string): PublicKey {
    return new PublicKey(createPublicKey(text))
  }

  get pem(): string {
    return this.#key.export({ type: 'spki', format: 'pem' }).toString()
  }

  signed(text: string, signature: string): boolean {
    return verify(null, Buffer.from(text), this.#key, Buffer.from(signature, 'base64'))
  }
}

/** Two hosts may start at the same moment: the first one's key wins. */
function readOrMake(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (failure) {
    if ((failure as NodeJS.ErrnoException).code !== 'ENOENT') throw failure
  }
  const fresh = `${path}.${randomBytes(6).toString('hex')}`
  const { privateKey } = generateKeyPairSync('ed25519')
  writeFileSync(fresh, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flag: 'wx' })
  try {
    linkSync(fresh, path)
  } catch (failure) {
    if ((failure as NodeJS.ErrnoException).code !== 'EEXIST') throw failure
  } finally {
    rmSync(fresh)
  }
  return readFileSync(path, 'utf8')
}
