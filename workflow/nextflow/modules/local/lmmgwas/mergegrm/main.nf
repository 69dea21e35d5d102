process LMMGWAS_MERGEGRM {
    tag "${meta.id}"
    label 'process_low'

    conda "${moduleDir}/environment.yml"

    input:
    tuple val(meta), val(bfile), path(bed), path(bim), path(fam)
    path files
    path parts

    output:
    tuple val(meta), path("${prefix}{.,.chr*.}grm.{bin,N.bin,id,json}"), emit: grm
    tuple val(meta), path("${prefix}.log"), emit: log
    tuple val("${task.process}"), val('lmmgwas'), eval("lmmgwas --version | sed 's/.* //'"), emit: versions_lmmgwas, topic: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    lmmgwas merge \\
        --what grm \\
        ${args} \\
        --out ${prefix}
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    touch ${prefix}.grm.bin ${prefix}.grm.N.bin ${prefix}.grm.id ${prefix}.grm.json
    touch ${prefix}.chr1.grm.bin
    touch ${prefix}.log
    """
}
