/** A browser global that Connect's types use and Node's types lack. */
type HeadersInit = ConstructorParameters<typeof Headers>[0]
