"""The relatedness matrix: chromosomes x tiles of rows, in parts, put together by `merge`."""


rule grm_part:
    input:
        genotype_files(),
        config["other_inputs"],
    output:
        for_a_while(f"{GRM}.grm-part-{{part}}-of-{PARTS['grm']}"),
    log:
        f"{GRM}.logs/grm-part-{{part}}.log",
    conda:
        "../envs/lmmgwas.yaml"
    threads: config["threads"]["grm"]
    resources:
        mem_mb=resource("grm_part", "mem_mb"),
        runtime=resource("grm_part", "runtime"),
    params:
        command=COMMAND,
        given=grm_arguments(),
        total=PARTS["grm"],
        out=shlex.quote(GRM),
    shell:
        "{params.command} grm {params.given} --part {wildcards.part}/{params.total}"
        " --overwrite --out {params.out} 2> {log:q}"


# `merge` writes one matrix per chromosome, too; their names depend on the labels in the .bim.
rule grm_merge:
    input:
        parts_of(f"{GRM}.grm-part-{{part}}-of-{PARTS['grm']}", "grm"),
        genotype_files(),
    output:
        GRM_FILES,
    log:
        f"{GRM}.logs/grm-merge.log",
    conda:
        "../envs/lmmgwas.yaml"
    resources:
        mem_mb=resource("grm_merge", "mem_mb"),
        runtime=resource("grm_merge", "runtime"),
    params:
        command=COMMAND,
        out=shlex.quote(GRM),
    shell:
        "{params.command} merge --what grm --overwrite --out {params.out} 2> {log:q}"
