process LMMGWAS_ASSOC {
    tag "${part ? "${meta.id} ${part}" : meta.id}"
    label 'process_high'

    conda "${moduleDir}/environment.yml"

    input:
    tuple val(meta), val(bfile), path(bed), path(bim), path(fam)
    path pheno
    path covar
    path grm
    path files
    path nulls
    val part

    output:
    tuple val(meta), path("${prefix}.*.tsv.gz"), emit: tables, optional: true
    tuple val(meta), path("${prefix}.*.tsv.gz.{tbi,csi}"), emit: index, optional: true
    tuple val(meta), path("${prefix}.*.tsv.gz-meta.yaml"), emit: metadata, optional: true
    tuple val(meta), path("${prefix}.*.leads.tsv"), emit: leads, optional: true
    tuple val(meta), path("${prefix}.*.null.tsv"), emit: nulls, optional: true
    tuple val(meta), path("${prefix}.*.{png,pdf}"), emit: plots, optional: true
    tuple val(meta), path("${prefix}.report.html"), emit: report, optional: true
    tuple val(meta), path("${prefix}_mqc.json"), emit: multiqc, optional: true
    tuple val(meta), path("${prefix}.*.parquet"), emit: parquet, optional: true
    tuple val(meta), path("${prefix}.samples.tsv"), emit: samples, optional: true
    tuple val(meta), path("${prefix}.run.json"), emit: run, optional: true
    tuple val(meta), path("${prefix}.part-*-of-*", type: 'dir'), emit: part, optional: true
    tuple val(meta), path("${prefix}*.log"), emit: log
    tuple val("${task.process}"), val('lmmgwas'), eval("lmmgwas --version | sed 's/.* //'"), emit: versions_lmmgwas, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def covar_arg = covar ? "--covar ${covar}" : ''
    def grm_arg = grm ? "--grm ${grm.find { file -> file.name.endsWith('.grm.id') }.name - '.grm.id'}" : ''
    def nulls_arg = nulls ? '--nulls null_models' : ''
    // links, as each null model holds a matrix of n x n
    def link = "-name '*.null' -exec ln -s {} null_models ';'"
    def gather = nulls ? "mkdir null_models; for d in ${nulls}; do find -L \$PWD/\$d ${link}; done" : ''
    def part_arg = part ? "--part ${part}" : ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    ${gather}

    lmmgwas assoc \\
        --bfile ${bfile} \\
        --pheno ${pheno} \\
        ${covar_arg} \\
        ${grm_arg} \\
        ${args} \\
        --threads ${task.cpus} \\
        ${nulls_arg} \\
        ${part_arg} \\
        --out ${prefix}
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    if (part) {
        def folder = "${prefix}.part-${part.replace('/', '-of-')}"
        """
        mkdir ${folder}
        touch ${folder}.log
        """
    }
    else {
        """
        for suffix in tsv.gz excluded.tsv.gz; do echo "" | gzip > ${prefix}.trait.\$suffix; done
        touch ${prefix}.trait.tsv.gz.tbi ${prefix}.trait.tsv.gz-meta.yaml
        touch ${prefix}.trait.leads.tsv ${prefix}.trait.null.tsv
        touch ${prefix}.trait.manhattan.png ${prefix}.trait.qq.png
        touch ${prefix}.report.html ${prefix}_mqc.json
        touch ${prefix}.samples.tsv ${prefix}.run.json ${prefix}.log
        """
    }
}
