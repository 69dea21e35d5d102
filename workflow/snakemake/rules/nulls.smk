"""The null models: the whole genome's first, from which those of the LOCO groups start.

They hold a matrix of n x n for each group, so nothing is copied: all jobs write into the folder
that the first one makes. An empty file beside it says that a job has done so.
"""


rule null_genome:
    input:
        study_files(),
        GRM_FILES,
    output:
        for_a_while(NULLS),
    log:
        f"{OUT}.logs/null-genome.log",
    conda:
        "../envs/lmmgwas.yaml"
    threads: config["threads"]["assoc"]
    resources:
        mem_mb=resource("null_genome", "mem_mb"),
        runtime=resource("null_genome", "runtime"),
    params:
        command=COMMAND,
        given=assoc_arguments(),
        nulls=shlex.quote(NULLS),
        out=shlex.quote(OUT),
    shell:
        "{params.command} assoc {params.given} --save-nulls {params.nulls} --nulls-of genome"
        " --overwrite --out {params.out} 2> {log:q}"


rule null_part:
    input:
        study_files(),
        GRM_FILES,
        NULLS,
    output:
        done_for_a_while(f"{NULLS}-{{part}}-of-{PARTS['nulls']}.done"),
    log:
        f"{OUT}.logs/null-part-{{part}}.log",
    conda:
        "../envs/lmmgwas.yaml"
    threads: config["threads"]["assoc"]
    resources:
        mem_mb=resource("null_part", "mem_mb"),
        runtime=resource("null_part", "runtime"),
    params:
        command=COMMAND,
        given=assoc_arguments(),
        total=PARTS["nulls"],
        nulls=shlex.quote(NULLS),
        out=shlex.quote(OUT),
    shell:
        "{params.command} assoc {params.given} --save-nulls {params.nulls}"
        " --part {wildcards.part}/{params.total} --overwrite --out {params.out} 2> {log:q}"
