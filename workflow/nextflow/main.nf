#!/usr/bin/env nextflow

/*
 * An association study in parts: relatedness matrix, null models and scan, each over as many
 * tasks as are asked for. The files that come out are the same bytes as those of one
 * `lmmgwas grm` and one `lmmgwas assoc`.
 *
 * Every task sees the study's files under their own names, in its own folder, as `lmmgwas merge`
 * reads them again under the names that the parts have recorded.
 */

include { LMMGWAS_GRM                         } from './modules/local/lmmgwas/grm/main'
include { LMMGWAS_MERGEGRM                    } from './modules/local/lmmgwas/mergegrm/main'
include { LMMGWAS_NULLS as LMMGWAS_NULLGENOME } from './modules/local/lmmgwas/nulls/main'
include { LMMGWAS_NULLS                       } from './modules/local/lmmgwas/nulls/main'
include { LMMGWAS_ASSOC                       } from './modules/local/lmmgwas/assoc/main'
include { LMMGWAS_MERGE                       } from './modules/local/lmmgwas/merge/main'

// '1/3', '2/3', '3/3'
def partsOf(number) {
    def count = number.toString().toInteger()
    if (count < 1) {
        error("Numbers of parts are 1 or more, not ${number}.")
    }
    return (1..count).collect { part -> "${part}/${count}".toString() }
}

// Stop where a parameter is missing, or is not in nextflow_schema.json: a misspelt one would be
// ignored, and its default used in silence.
def checkParams(given) {
    def schema = new groovy.json.JsonSlurper().parseText(file("${projectDir}/nextflow_schema.json").text)
    def groups = schema['$defs'].values()
    def known = groups.collectMany { group -> group.properties.keySet() }
    def unknown = given.keySet().findAll { name -> !(name in known) && !name.contains('-') }
    if (unknown && given.validate_params) {
        error("Unknown parameters: ${unknown.join(', ')}; nextflow_schema.json lists those there are.")
    }
    def missing = groups.collectMany { group -> group.required ?: [] }.findAll { name -> !given[name] }
    if (missing) {
        error("Missing parameters: ${missing.collect { name -> "--${name}" }.join(', ')}")
    }
}

// The files of a prefix with one suffix; one for each chromosome where the prefix holds @.
def filesOf(prefix, suffix) {
    return file("${prefix.replace('@', '*')}${suffix}", checkIfExists: true)
}

// A list of files, separated by commas.
def listed(text) {
    return text ? text.tokenize(',').collect { name -> file(name.trim(), checkIfExists: true) } : []
}

workflow LMMGWAS {
    take:
    genotypes // value: [ meta, prefix in the task's folder, bed, bim, fam ]
    pheno     // value: table of traits
    covar     // value: table of covariates, or []
    grm       // value: files of a relatedness matrix that is there already, or []
    files     // value: files that options name, or []
    parts     // map: grm, nulls, scan: numbers of tasks

    main:
    if (grm) {
        ch_grm = channel.value(grm)
    }
    else {
        LMMGWAS_GRM(genotypes, files, channel.fromList(partsOf(parts.grm)))
        LMMGWAS_MERGEGRM(
            genotypes,
            files,
            LMMGWAS_GRM.out.part.map { _meta, folder -> folder }.collect(sort: { folder -> folder.name }),
        )
        ch_grm = LMMGWAS_MERGEGRM.out.grm.map { _meta, matrices -> matrices }
    }

    LMMGWAS_NULLGENOME(genotypes, pheno, covar, ch_grm, files, [], '')
    LMMGWAS_NULLS(
        genotypes,
        pheno,
        covar,
        ch_grm,
        files,
        LMMGWAS_NULLGENOME.out.nulls.map { _meta, folder -> folder },
        channel.fromList(partsOf(parts.nulls)),
    )
    ch_nulls = LMMGWAS_NULLS.out.nulls
        .mix(LMMGWAS_NULLGENOME.out.nulls)
        .map { _meta, folder -> folder }
        .collect(sort: { folder -> folder.name })

    LMMGWAS_ASSOC(genotypes, pheno, covar, ch_grm, files, ch_nulls, channel.fromList(partsOf(parts.scan)))
    LMMGWAS_MERGE(
        genotypes,
        pheno,
        covar,
        ch_grm,
        files,
        LMMGWAS_ASSOC.out.part.map { _meta, folder -> folder }.collect(sort: { folder -> folder.name }),
    )

    emit:
    tables  = LMMGWAS_MERGE.out.tables
    index   = LMMGWAS_MERGE.out.index
    leads   = LMMGWAS_MERGE.out.leads
    plots   = LMMGWAS_MERGE.out.plots
    report  = LMMGWAS_MERGE.out.report
    multiqc = LMMGWAS_MERGE.out.multiqc
    run     = LMMGWAS_MERGE.out.run
}

workflow {
    checkParams(params)
    def bfile = file(params.bfile).name
    // One file under two options is staged once.
    def covar = params.covar && params.covar != params.pheno ? file(params.covar, checkIfExists: true) : []
    LMMGWAS(
        [
            [id: params.prefix],
            bfile,
            filesOf(params.bfile, '.bed'),
            filesOf(params.bfile, '.bim'),
            filesOf(params.bfile, '.fam'),
        ],
        file(params.pheno, checkIfExists: true),
        covar,
        params.grm ? file("${params.grm}.{grm.,chr*.grm.}*", checkIfExists: true) : [],
        listed(params.files),
        [grm: params.grm_parts, nulls: params.null_parts, scan: params.scan_parts],
    )

    channel.topic('versions')
        .unique()
        .map { name, tool, version -> "${name.tokenize(':').last()}:\n    ${tool}: ${version}\n" }
        .unique()
        .collectFile(name: 'versions.yml', storeDir: "${params.outdir}/pipeline_info", sort: true)
}
