process LMMGWAS_NULLS {
    tag "${meta.id} ${part ?: 'genome'}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"

    input:
    tuple val(meta), val(bfile), path(bed), path(bim), path(fam)
    path pheno
    path covar
    path grm
    path files
    path genome, stageAs: 'genome'
    val part

    output:
    tuple val(meta), path("${folder}", type: 'dir'), emit: nulls
    tuple val(meta), path("${prefix}.nulls*.log"), emit: log
    tuple val("${task.process}"), val('lmmgwas'), eval("lmmgwas --version | sed 's/.* //'"), emit: versions_lmmgwas, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def covar_arg = covar ? "--covar ${covar}" : ''
    def grm_arg = grm ? "--grm ${grm.find { file -> file.name.endsWith('.grm.id') }.name - '.grm.id'}" : ''
    def part_arg = part ? "--part ${part}" : '--nulls-of genome'
    prefix = task.ext.prefix ?: "${meta.id}"
    folder = part ? "${prefix}.nulls-${part.replace('/', '-of-')}" : "${prefix}.nulls-genome"
    def start = genome ? "ln -s \$PWD/genome/*.null ${folder}" : ''
    """
    mkdir ${folder}
    ${start}

    lmmgwas assoc \\
        --bfile ${bfile} \\
        --pheno ${pheno} \\
        ${covar_arg} \\
        ${grm_arg} \\
        ${args} \\
        --threads ${task.cpus} \\
        --save-nulls ${folder} \\
        ${part_arg} \\
        --out ${prefix}

    find ${folder} -type l -delete
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    folder = part ? "${prefix}.nulls-${part.replace('/', '-of-')}" : "${prefix}.nulls-genome"
    """
    mkdir ${folder}
    touch ${folder}.log
    """
}
