process LMMGWAS_GRM {
    tag "${part ? "${meta.id} ${part}" : meta.id}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"

    input:
    tuple val(meta), val(bfile), path(bed), path(bim), path(fam)
    path files
    val part

    output:
    tuple val(meta), path("${prefix}{.,.chr*.}grm.{bin,N.bin,id,json}"), emit: grm, optional: true
    tuple val(meta), path("${prefix}.grm-part-*-of-*", type: 'dir'), emit: part, optional: true
    tuple val(meta), path("${prefix}*.log"), emit: log
    tuple val("${task.process}"), val('lmmgwas'), eval("lmmgwas --version | sed 's/.* //'"), emit: versions_lmmgwas, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def part_arg = part ? "--part ${part}" : ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    lmmgwas grm \\
        --bfile ${bfile} \\
        ${args} \\
        --threads ${task.cpus} \\
        ${part_arg} \\
        --out ${prefix}
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    if (part) {
        def folder = "${prefix}.grm-part-${part.replace('/', '-of-')}"
        """
        mkdir ${folder}
        touch ${folder}.log
        """
    }
    else {
        """
        touch ${prefix}.grm.bin ${prefix}.grm.N.bin ${prefix}.grm.id ${prefix}.grm.json
        touch ${prefix}.chr1.grm.bin
        touch ${prefix}.log
        """
    }
}
