/** Connect's types name what a browser has in its global scope, and Node's types have not. */
type HeadersInit = ConstructorParameters<typeof Headers>[0]
