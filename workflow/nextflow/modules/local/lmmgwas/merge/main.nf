process LMMGWAS_MERGE {
    tag "${meta.id}"
    label 'process_low'

    conda "${moduleDir}/environment.yml"

    input:
    tuple val(meta), val(bfile), path(bed), path(bim), path(fam)
    path pheno
    path covar
    path grm
    path files
    path parts

    output:
    tuple val(meta), path("${prefix}.*.tsv.gz"), emit: tables
    tuple val(meta), path("${prefix}.*.tsv.gz.{tbi,csi}"), emit: index
    tuple val(meta), path("${prefix}.*.tsv.gz-meta.yaml"), emit: metadata
    tuple val(meta), path("${prefix}.*.leads.tsv"), emit: leads
    tuple val(meta), path("${prefix}.*.null.tsv"), emit: nulls
    tuple val(meta), path("${prefix}.*.{png,pdf}"), emit: plots, optional: true
    tuple val(meta), path("${prefix}.report.html"), emit: report, optional: true
    tuple val(meta), path("${prefix}_mqc.json"), emit: multiqc
    tuple val(meta), path("${prefix}.*.parquet"), emit: parquet, optional: true
    tuple val(meta), path("${prefix}.samples.tsv"), emit: samples
    tuple val(meta), path("${prefix}.run.json"), emit: run
    tuple val(meta), path("${prefix}.log"), emit: log
    tuple val("${task.process}"), val('lmmgwas'), eval("lmmgwas --version | sed 's/.* //'"), emit: versions_lmmgwas, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    lmmgwas merge \\
        --what assoc \\
        ${args} \\
        --out ${prefix}
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    for suffix in tsv.gz excluded.tsv.gz; do echo "" | gzip > ${prefix}.trait.\$suffix; done
    touch ${prefix}.trait.tsv.gz.tbi ${prefix}.trait.tsv.gz-meta.yaml
    touch ${prefix}.trait.leads.tsv ${prefix}.trait.null.tsv
    touch ${prefix}.trait.manhattan.png ${prefix}.trait.qq.png
    touch ${prefix}.report.html ${prefix}_mqc.json
    touch ${prefix}.samples.tsv ${prefix}.run.json ${prefix}.log
    """
}
