"""A real Kubernetes control plane for the tests, on loopback, with simulated nodes.

``fixtures`` has what tests import: ``control_plane`` (one for all workers of a test run; nobody may break
it), ``private_control_plane`` (a module's own, to be killed and restarted) and ``namespace``. ``endings``
has the table of pod endings that a task's parameters ask for.

Where it comes from, the first that applies:

``KUBECONFIG``, with ``USE_EXISTING_CLUSTER=true``
    a kubeconfig file: the tests run on that cluster, as the user of its current context, in namespaces of
    their own named ``batchkeeper-test-…``; whatever needs simulated nodes, or kills a server, skips. The
    second variable is envtest's, and there on purpose: ``KUBECONFIG`` is set in the shells of people who look
    after production clusters, and a test suite must not run there because somebody typed ``make test``.
``KUBEBUILDER_ASSETS``
    a folder with ``etcd``, ``kube-apiserver``, ``kube-controller-manager``, ``kube-scheduler`` and ``kwok``
    (the convention of envtest, which ships the first two only).
the cache
    ``~/.cache/batchkeeper/control-plane/`` (or under ``XDG_CACHE_HOME``): built there once from the Go module
    in ``go/``; ``python -m tests.control_plane.binaries`` does that ahead of time.

Where none of them works the tests skip, with the reason; with ``TESTS_REQUIRE_CONTROL_PLANE=1``, as in
continuous integration, they fail.
"""
