"""What the Hub's door asks of each method, by its full name (reference: hub-protocol, section 2)."""

from typing import Final

_THREADS = "/threads.pb.API/"
_NETWORK = "/threads.net.pb.API/"
_BUCKETS = "/api.bucketsd.pb.APIService/"
_OWN = "/threadd.v1.API/"
_ACCOUNTS = "/api.hubd.pb.APIService/"


def _all(service: str, names: str) -> frozenset[str]:
    return frozenset(service + name for name in names.split())


UNCHECKED: Final = (
    _all(_ACCOUNTS, "Signup Signin IsUsernameAvailable")
    | _all("/grpc.health.v1.Health/", "Check")
    | _all("/grpc.reflection.v1alpha.ServerReflection/", "ServerReflectionInfo")
)
"""Open to everybody."""

BLOCKED: Final = _all(_THREADS, "ListDBs") | _all(_NETWORK, "Subscribe")
"""Open to nobody: there is no telling a caller's own part from the rest."""

GET_TOKEN: Final = _all(_THREADS, "GetToken") | _all(_NETWORK, "GetToken")
"""Open to a user group key without a user token, which is what they give."""

CREATING: Final = {
    _THREADS + "NewDB": True,
    _THREADS + "NewDBFromAddr": True,
    _NETWORK + "CreateThread": False,
    _NETWORK + "AddThread": False,
}
"""Make their caller the owner of a thread; with whether that thread is a database."""

DELETING: Final = _all(_THREADS, "DeleteDB") | _all(_NETWORK, "DeleteThread")
"""End an ownership once they have succeeded."""

CROSS_USER: Final = (
    _all(
        _THREADS,
        "Create Verify Save Delete Has Find FindByID ReadTransaction WriteTransaction Listen",
    )
    | _all(
        _BUCKETS,
        "Root Links ListPath PushPath PullPath SetPath MovePath RemovePath PullPathAccessRoles PushPathAccessRoles",
    )
    | _all(_OWN, "Count Explain Page Listen")
)
"""Open to whoever knows a thread's ID; the rules of the collection decide."""
