"""An import-linter contract of our own: these modules import, of ours, only what is named."""

import sys
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class OnlyContract(Contract):
    """Names what may be imported; a list of what may not would have to grow with every new module.

    `source_modules` are taken with all that they contain, and may import each other. Distributions
    from outside are free, unless `standard_library_only` is true.
    """

    type_name = "only"

    source_modules = fields.ListField(subfield=fields.ModuleField())
    allowed_modules = fields.ListField(subfield=fields.ModuleField(), required=False, default=[])
    standard_library_only = fields.BooleanField(required=False, default=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: FBT001 - import-linter's signature
        """Compare every direct import of the source modules with what they may import."""
        del verbose
        sources = [module.name for module in _parsed(self.source_modules)]
        allowed = {module.name for module in _parsed(self.allowed_modules)} | set(sources)
        roots = {name.partition(".")[0] for name in graph.modules if not graph.is_module_squashed(name)}
        breaches = [
            f"{importer} -> {imported}"
            for source in sources
            for importer in sorted({source, *graph.find_descendants(source)})
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if not self._is_free(imported, roots) and not _is_within(imported, allowed)
        ]
        return ContractCheck(kept=not breaches, metadata={"breaches": breaches})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """One line for each import that is not allowed."""
        for breach in check.metadata["breaches"]:
            output.print_error(breach)

    def _is_free(self, imported: str, roots: set[str]) -> bool:
        root = imported.partition(".")[0]
        if _parsed(self.standard_library_only):
            return root in sys.stdlib_module_names
        return root not in roots


def _parsed(field: Any) -> Any:  # noqa: ANN401 - by type a descriptor, in fact what was parsed
    return field


def _is_within(module: str, allowed: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in allowed)
