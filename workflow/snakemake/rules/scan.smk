"""The scan: ranges of variants in parts, put together by `merge` with tables and plots."""


rule scan_part:
    input:
        study_files(),
        GRM_FILES,
        NULLS,
        parts_of(f"{NULLS}-{{part}}-of-{PARTS['nulls']}.done", "nulls"),
    output:
        for_a_while(f"{OUT}.part-{{part}}-of-{PARTS['scan']}"),
    log:
        f"{OUT}.logs/scan-part-{{part}}.log",
    conda:
        "../envs/lmmgwas.yaml"
    threads: config["threads"]["assoc"]
    resources:
        mem_mb=resource("scan_part", "mem_mb"),
        runtime=resource("scan_part", "runtime"),
    params:
        command=COMMAND,
        given=assoc_arguments(),
        total=PARTS["scan"],
        nulls=shlex.quote(NULLS),
        out=shlex.quote(OUT),
    shell:
        "{params.command} assoc {params.given} --nulls {params.nulls}"
        " --part {wildcards.part}/{params.total} --overwrite --out {params.out} 2> {log:q}"


# `merge` reads the study's inputs again, under the names that the parts have recorded.
rule merge:
    input:
        study_files(),
        GRM_FILES,
        parts_of(f"{OUT}.part-{{part}}-of-{PARTS['scan']}", "scan"),
    output:
        key_figures(),
        trait_tables(),
        report([*trait_plots(), *report_page()], category="Association"),
    log:
        f"{OUT}.logs/merge.log",
    conda:
        "../envs/lmmgwas.yaml"
    resources:
        mem_mb=resource("merge", "mem_mb"),
        runtime=resource("merge", "runtime"),
    params:
        command=COMMAND,
        out=shlex.quote(OUT),
    shell:
        "{params.command} merge --what assoc --overwrite --out {params.out} 2> {log:q}"
