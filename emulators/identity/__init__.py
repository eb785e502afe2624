"""Identity Platform (Firebase Authentication) of the local cloud.

Official clients find it by FIREBASE_AUTH_EMULATOR_HOST. What differs from the official emulator,
because here nothing unsigned is ever believed:

- ID tokens and session cookies are RS256; certificates are at `/certs` and at Google's own paths.
- Custom tokens have to be signed by a service account of the project. Under the emulator's variable
  the admin SDKs make unsigned ones, so sign with the key file that
  `GET /emulator/v1/projects/{project}/serviceAccountKey` answers (the SDK does, where the variable
  is not set), or by IAM Credentials' `signJwt` and `signBlob`, which are here as well.
- Tokens of identity providers have to be signed: by this cloud (`POST
  /emulator/v1/projects/{project}/idTokens` with `providerId`, `sub` and any claims) or by the
  issuer that an OIDC provider's configuration names.
- E-mail enumeration protection is on, as it is for new projects in the cloud.
- Tenants exist only once they are made.

A module whose name is an operation's or a resource's answers its routes; `engine` mounts them all,
`directory` is what they share. A `silo` is the accounts of a project or of one of its tenants.
"""

from emulators.identity.engine import Identity

__all__ = ["Identity"]
